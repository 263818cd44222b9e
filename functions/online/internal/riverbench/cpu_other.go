//go:build !unix

package main

import "time"

var started = time.Now()

// cpuTime is the time that has passed, where that of the processor is not known.
func cpuTime() time.Duration { return time.Since(started) }
