"""The agent of all versions: world model, behaviour, acting, one update, and contracts of its parts."""
