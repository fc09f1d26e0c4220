"""The sample table, published layouts, Promenade, sampling, transforms, loading."""
