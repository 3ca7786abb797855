"""What an encoder sees: one file per way to lay windows over the fields of a plate.

Such a file holds a `Config`; ``NEEDS``, which is ``("nuclei",)`` if it needs nuclei; ``output_size(config, about)``, the
height and width of a sample in pixels; and ``windows(config, images, nuclei, about)``. The latter gets a table of images
(`Height`, `Width`, metadata) and one of nuclei (`Image` is the row of the image). It returns one row per sample: `Image`,
`Number` (of the sample in its image, from 1), the window `Top`, `Left`, `Height`, `Width` in pixels, which is resized to
``output_size``, and any further columns that describe the sample.

`about` is what the dataset states of itself: its name `dataset`, and `pixel_size_um`, the micrometres per pixel of the
images, which is None where it is not known. The size of a sample must follow from the two alone, not from the images: plates
of one dataset give samples of one size.

A `Config` with a key `neighbours` that is ``mask`` has all nuclei masked but the sample's own, which the column `Nucleus`
names.
"""
