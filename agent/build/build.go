// Package build identifies the running build of Meshway.
package build

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Info is what the Go toolchain recorded of the build.
type Info struct {
	Version string    // module version, or "devel"
	Commit  string    // VCS revision, "+dirty" if the tree had changes
	Time    time.Time // of the revision; zero: not recorded
	Go      string
}

// Current returns the running build.
func Current() Info {
	info := Info{Version: "devel", Go: runtime.Version()}
	recorded, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if v := recorded.Main.Version; v != "" && v != "(devel)" {
		info.Version = v
	}
	dirty := ""
	for _, setting := range recorded.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.Commit = setting.Value
		case "vcs.time":
			info.Time, _ = time.Parse(time.RFC3339, setting.Value) // zero if it is not one
		case "vcs.modified":
			if setting.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if info.Commit != "" {
		info.Commit += dirty
	}
	return info
}
