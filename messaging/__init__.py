"""The mechanism that all services share: decide, commit, and publish the committed messages exactly once. It knows no
service.

Its packages, from the inside out. Each may import those before it. The adapters do not import each other.

`ports`       messages, changes, and the interfaces of the other packages; application layers may import it
`engine`      the loops, without a driver: the relay, the consumer, group commit
`postgres`, `memory`, `kafka`, `brokerless`   the adapters
`runtime`     the wiring of a process: settings, storage, transport, roles
"""
