"""The part that application layers may import: messages, changes, the ports of publishing and consuming. No I/O."""
