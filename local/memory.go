package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// boundMemory has the garbage collector work harder rather than let the process
// take more than three quarters of the machine's memory: the embedded Kafka and the
// views keep what they are given, and a long run at full speed is given much. What
// GOMEMLIMIT says comes first.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if memory := memoryOf("/proc/meminfo"); memory > 0 {
		debug.SetMemoryLimit(memory / 4 * 3)
	}
}

// memoryOf is how many bytes of memory there are, 0 if that is not known.
func memoryOf(meminfo string) int64 {
	text, err := os.ReadFile(meminfo)
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "MemTotal:" || fields[2] != "kB" {
			continue
		}
		if kb, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return kb << 10
		}
	}
	return 0
}
