"""What runs a network: MXNet, or a file that ``gluon-ssd export`` has made in OpenVINO, onnxruntime or torch.

A runtime turns a batch of inputs into padded detections; reading pictures, resizing them and bringing boxes
back to their pixels is the same for all (`gluon_ssd.predict`). Only the module of a runtime imports it.
"""
