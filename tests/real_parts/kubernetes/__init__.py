"""A pod runner: what a manifest says is run as processes of this machine, with its commands, variables, probes, preStop
and signals. It has Deployments, Jobs that are hooks, nodes that can be drained, and the endpoints of Services.

A pod's network is an address of the loopback range, a node is a name, and an image is a checkout of this repository.
What only a kernel can enforce (users, capabilities, network policies, limits) is not there."""
