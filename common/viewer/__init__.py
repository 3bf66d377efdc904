"""The viewer: environments and dreams of world models, step by step, on a page or in a film."""
