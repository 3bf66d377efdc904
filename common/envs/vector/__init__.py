"""Several environments stepped together, in this process, in workers or in the threads of ale-py."""
