"""One file per recipe: how an encoder is made. What a recipe has to do is written in `phenorep.recipes`.

A recipe that is trained, and may start from published weights, declares ``DRAWN``: the keys that ask for them, with the
values by which as many are drawn at random. So its costs are counted without these weights.
"""
