"""The levels that rows of a table can have: which columns tell two rows of a level apart, and how a level is called."""

# Level -> the columns whose values, together, name one row.
KEYS = {
    "field": ("Metadata_Plate", "Metadata_Well", "Metadata_Site"),
    "well": ("Metadata_Plate", "Metadata_Well"),
    "plate": ("Metadata_Plate",),
    "treatment": ("Metadata_Treatment",),
    "compound": ("Metadata_Compound",),
}
# Order in which the parts of a combined level are named: treatment_plate, whichever was given first.
PARTS = ("treatment", "compound", "field", "well", "plate")
