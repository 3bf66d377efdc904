"""Published agents: the files that `push` uploads, without private data, with a model card and a learning curve."""
