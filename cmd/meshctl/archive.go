package main

// inspectArchive verifies a snapshot file and prints what is in it.
func inspectArchive(_ *app, _ string, _ []byte) error {
	return &fault{code: exitFailure, message: "this meshctl cannot read snapshot files yet"}
}
