"""The local page: browse, search, review, and change the tree by hand."""
