"""Data sets packed into a few large files: MXNet's RecordIO, or TFRecord with DALI's index files.

    records_train.json              the manifest: a COCO annotation file, and where each picture is
    train-00000-of-00008.rec        a shard; its pictures are the original files, byte for byte
    train-00000-of-00008.idx        its index, for DALI and MXNet's own readers

The native loader finds pictures through the manifest and takes the boxes from it. The shards also hold the
boxes that training uses, for DALI and other readers; see ``writers``.
"""
