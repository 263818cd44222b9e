// Command probe is the health check of images that have no shell and no curl:
//
//	probe http://localhost:8080/health/readiness
//
// exits with 0 if the answer is 200, else with 1 and a line that says why.
package main

import (
	"fmt"
	"io"
	"net/http"
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

// ask returns why the answer is not 200, with what the server says of it.
func ask(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return fmt.Errorf("%q is not like http://HOST:PORT/PATH", target)
	}
	client := http.Client{Timeout: patience}
	response, err := client.Get(target)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(response.Body, 1024)) // as far as it says
	return fmt.Errorf("%s answers %s: %s", target, response.Status, strings.TrimSpace(string(why)))
}
