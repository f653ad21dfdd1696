"""One file per way to multiply a CSR matrix with rows; all obey the same contract test.

Each has ``why_not(device)`` and ``multiply(rowptr, col, value, x, num_rows)``, and ``maximum`` with the same arguments
where it can take maxima. They compute forward only: ``mmgraph.sparse.product`` makes the gradients of the same product.
"""
