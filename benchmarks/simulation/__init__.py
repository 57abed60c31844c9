"""A discrete-event simulation of servers: queues, shared cores, routing and autoscaling."""
