"""Web pages and sitemaps as sources, over requests that stay within what was asked for."""
