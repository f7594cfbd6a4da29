"""Networks by name, each beside its published facts. `catalog.build` builds one, `catalog.nets` lists them.

One file a family, read top to bottom beside the paper; `catalog` itself needs no torch.
"""
