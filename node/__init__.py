"""The running product: a DICOM node that reads studies and answers with SEG and SR.

The rooms stand in the order of the data: receive, gather, identity, inference, measure, report, deliver.
`node.workflow` tells the story; `node.dicom` holds the values that travel between the rooms.
"""
