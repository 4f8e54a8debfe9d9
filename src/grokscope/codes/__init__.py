"""Linear codes over the reals and their exact m-heights: mathematics only, nothing about networks."""
