// Command probe is the health check of images that have no shell and no curl:
//
//	probe http://localhost:8080/health/readiness
//
// exits with 0 if the answer is 200, else with 1 and a line that says why.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// patience is less than that of the health checks that run it.
const patience = 3 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: probe http://HOST:PORT/PATH")
		os.Exit(2)
	}
	if err := ask(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// ask speaks just enough HTTP for one question: net/http is four times the size
// of the rest, in every image, for nothing.
func ask(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return fmt.Errorf("%q is not like http://HOST:PORT/PATH", target)
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return err
	}
	status, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	if _, code, ok := strings.Cut(strings.TrimSpace(status), " "); !ok || !strings.HasPrefix(status, "HTTP/1.") || !strings.HasPrefix(code, "200") {
		return fmt.Errorf("%s answers %q", target, strings.TrimSpace(status))
	}
	return nil
}
