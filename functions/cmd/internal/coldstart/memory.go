package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is what a process holds, in bytes, as its kernel counts it.
type memory struct {
	resident int64 // VmRSS
	own      int64 // RssAnon: what of it is no page of the binary
	peak     int64 // VmHWM
}

// memoryOf reads /proc/PID/status, which Linux alone has.
func memoryOf(pid int) (memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	var m memory
	fields := map[string]*int64{"VmRSS": &m.resident, "RssAnon": &m.own, "VmHWM": &m.peak}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		to, ok := fields[name]
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("memory of process %d: %s: %w", pid, name, err)
		}
		*to = kilobytes << 10
		delete(fields, name)
	}
	if len(fields) > 0 {
		return memory{}, fmt.Errorf("memory of process %d: its status does not say all: %s", pid, status)
	}
	return m, nil
}
