"""Every operator command and report, said once: parameters, rows, text.

The command line and the HTTP twins are made from these. Adding one is adding a module with an
`OPERATION` and naming it in `flaas.operations.catalogue`.
"""
