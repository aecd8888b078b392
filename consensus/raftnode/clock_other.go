//go:build !linux

package raftnode

import "time"

func suspended() time.Duration { return 0 }
