"""The other ways, one file each; they import nothing of mmgraph, so they are oracles as well as rivals.

One is not: ``plain_system`` exchanges what computes within the library's own models.

Every neighbour search is called ``search(x, k, *, threads, seed, device, options)`` and answers with
:class:`~benchmarks.rivals.answer.Neighbours`; every co-interaction count is called
``count(user, item, *, num_users, num_items, side, top_k)`` and answers with
:class:`~benchmarks.rivals.answer.Counts`.
"""
