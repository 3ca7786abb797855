"""Normal and abnormal images: labels given by eye, what is learnt from few of them, and how well.

`annotating` writes the page on which images are marked (`choosing` says which), `annotations` reads what it exports.
`splits` says what is learnt from and what is tested, `classifiers` and `fine_tuning` learn, `scoring` scores; `abnormality`
applies what was learnt to all samples.
"""
