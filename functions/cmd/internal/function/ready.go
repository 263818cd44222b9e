package function

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"tripcast.dev/functions/serve"
)

// answerWithin is how long a function may take to say whether it is ready.
const answerWithin = 3 * time.Second

// askReady asks the process that was started with this environment whether it is
// ready. It is the health check of an image that holds nothing but the function.
func (m Main) askReady(ctx context.Context, getenv func(string) string) error {
	options, err := serve.FromEnv(getenv)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(cmp.Or(options.Addr, m.Addr))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	url := "http://" + net.JoinHostPort(cmp.Or(host, "localhost"), port) + "/health/readiness"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(response.Body, 1024)) // as far as it says
	return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(why)))
}
