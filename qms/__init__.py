"""The quality record, and the gate that holds it together.

Requirements, risks, SOUP, clauses, problem reports and approvals are data (`qms/records`, YAML checked by
`qms.items`). Which code a requirement lives in and which test proves it is not believed but observed: `qms.plugin`
watches the test run, `qms.evidence` signs what it saw, `qms.gate` judges records, code, locks and evidence together and
names each gap by its item.
"""
