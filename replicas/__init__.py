"""What the replicas of Ray Serve run: a server each, and the models that it has fetched."""
