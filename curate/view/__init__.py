"""The local page of `curate view`: browse, search, review, and change the tree by hand.

    source.py   a run's folder or anybody's dataset, as rows
    index.py    one SQLite file with its rows and their words
    search.py   what a reader asks for, as SQL
    places.py   where samples stand in the tree as it is now
    store.py    search, look, decide: everything about one source
    opening.py  its store at once: of the first rows, while the index is built
    desk.py     the page's requests
    guard.py    who may send them
    server.py   the server, in a thread of its own

The page itself is in web/view.
"""
