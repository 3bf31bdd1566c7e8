"""What application layers may import: messages, changes, and the ports of publishing and consuming. No I/O."""
