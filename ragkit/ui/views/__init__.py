"""One module for each page; `show` draws it.

Not named `pages`: Streamlit takes a folder of that name for pages of its own older kind.
"""
