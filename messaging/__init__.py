"""The mechanism all services share: decide, then commit; publish what was committed, exactly once. It knows no service.

Its rooms, from the inside out; each may import the ones before it, and the adapters do not know each other:

`ports`       what application layers may import: messages, changes, and the interfaces of everything below
`engine`      the relay, the consumer, group commit: the loops, without a driver
`postgres`, `memory`, `kafka`, `brokerless`   the adapters
`runtime`     what wires a process: settings, storage, transport, roles
"""
