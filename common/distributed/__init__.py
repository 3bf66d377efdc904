"""One run in several processes: synchronous data parallel training with torch.distributed, started by torchrun."""
