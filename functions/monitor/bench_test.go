package monitor

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"tripcast.dev/functions/monitor/live"
)

// BenchmarkStream is one message of 4 KB, as the models of a catalogue are, to all
// visitors over their sockets, until the last one has it. cpu-us/msg is what the
// process used meanwhile, for reading it in the visitors' place as well.
func BenchmarkStream(b *testing.B) {
	for _, visitors := range []int{1, 200} {
		b.Run("visitors="+number(visitors), func(b *testing.B) { benchmarkStream(b, visitors) })
	}
}

func benchmarkStream(b *testing.B, visitors int) {
	d := newDashboard(b, "")
	url := d.server(b)
	message := live.Message{Event: "models", Data: []byte(`"` + strings.Repeat("x", 4<<10) + `"`)}
	got := make(chan error, visitors)
	for range visitors {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		go follow(conn, got)
	}
	d.feed.awaitVisitors(b, visitors)
	before := cpu(b)
	for b.Loop() {
		d.feed.publish(message)
		for range visitors {
			if err := <-got; err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/msg")
}

// follow tells of every message that has come.
func follow(conn net.Conn, got chan<- error) {
	request, err := http.NewRequest(http.MethodGet, "http://x/stream", nil)
	if err == nil {
		err = request.Write(conn)
	}
	if err != nil {
		got <- err
		return
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		got <- err
		return
	}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if bytes.HasPrefix(lines.Bytes(), []byte("data:")) {
			got <- nil
		}
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
