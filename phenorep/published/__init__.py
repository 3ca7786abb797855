"""One CSV per study: the figures that it published, to stand beside what is measured here.

A study of the configuration names its file: ``published: ws_dino``. Each row is one figure of the paper:

- ``source``: the paper; ``table``: the number of its table; ``type``, ``row``, ``weak_label``, ``single_cell`` and
  ``reference``: what that table says of the row, in the paper's words, empty where it says nothing;
- ``metric``: a metric of phenorep's evaluations; ``settings``: for what, where a metric has several scores, in the words of
  the evaluation (``classifier=linear, labels=350``, in any order), else empty;
- ``value``: its share, 0 to 1; ``n``: of how many treatments or samples;
- ``statistic``: ``best`` (of the epochs, chosen by the very metric), ``mean`` (over epochs) or ``stated`` (neither is said);
- ``method``, ``profile``: names of the study for the same thing, ``none`` where the evaluation reads no profile; both empty
  where it has no such method.

What a paper marks as not available is no figure and has no row. ``phenorep.report.published`` reads and checks the files.

ws_dino.csv: tables 1, 2 and 3 of Cross-Zamirski et al. 2022. The paper states 103 treatments; that 92 are left for
``nscb`` is derived from the public annotation (treatments with a partner of their mechanism of another compound and batch,
where taxol 0.3 uM, which is in all batches, counts as in one). For figures that the paper takes from others the same numbers
are taken.
Table 1 holds the best epochs of table 2, so its trained models are ``best``; its ImageNet weights have no epochs.

hcs_qc.csv: tables 1, 2 and 3 of Masud et al. 2022, in per cent there. Table 1 is of frozen encoders, tables 2 and 3 of
fine-tuned ones, table 3 on another data set. The paper gives no deviation and does not say of how many runs its figures are.
They are no shares of the test images. All accuracies of table 3, of 200 images, are multiples of 1/224 and none is one of
1/200: what the mean over 7 batches gives, six of 32 images and one of 8. Of the 56 in tables 1 and 2, of 130 images, 39 are
multiples of 1/128 or 1/384 and none of 1/130, as if two images were left out and three runs averaged. So the same labels
would not give the same digits; what can be compared is the order of methods.
"""
