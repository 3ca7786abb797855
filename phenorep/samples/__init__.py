"""What an encoder sees: one file per way to lay windows over the fields of a plate.

Such a file holds a `Config`; ``NEEDS``, which is ``("nuclei",)`` if it needs nuclei; ``output_size(config)``, the height and
width of a sample in pixels; and ``windows(config, images, nuclei)``. The latter gets a table of images (`Height`, `Width`,
metadata) and one of nuclei (`Image` is the row of the image). It returns one row per sample: `Image`, `Number` (of the
sample in its image, from 1), the window `Top`, `Left`, `Height`, `Width` in pixels, which is resized to ``output_size``, and
any further columns that describe the sample.
"""
