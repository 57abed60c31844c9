"""Jobs over very many images: their sources, the parts of their output, and how they are resumed."""
