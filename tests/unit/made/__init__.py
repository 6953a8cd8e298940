"""Models, rows, tables and configs that several tests make use of, made up for them."""
