"""The facts of every net, a file a family beside the file that builds it; `catalog` puts them together. No torch."""
