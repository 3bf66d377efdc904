"""The official agents, each started by its own program with the changes that its module lists."""
