"""Small reference data that every worker holds whole: places and travellers' profiles."""
