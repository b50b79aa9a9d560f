"""
Bases: `.base` files and blocks, which list notes by their properties.

`definitions` reads one, with `expressions` for its filters and formulas: that takes
the file alone. `querying` finds the rows among what readers may see, with `values`,
`functions` and `evaluation` for what an expression says of one; `showing` makes
tables, cards and lists of them. Expressions are interpreted step by step, and only
what is named here can be called.
"""
