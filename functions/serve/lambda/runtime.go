package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
)

// EnvRuntimeAPI is the variable that tells a process that Lambda runs it, and
// where Lambda is asked for invocations.
const EnvRuntimeAPI = "AWS_LAMBDA_RUNTIME_API"

// Run takes invocations from Lambda until ctx is done. A process that cannot
// reach Lambda any more is ended at once, with a line that says so: Lambda
// starts another one.
func (f *Function) Run(ctx context.Context) {
	go awslambda.Start(f)
	<-ctx.Done()
}

// FailInit tells Lambda, at the value of EnvRuntimeAPI, why the process will not
// serve. Without it, Lambda knows no more than that it has ended.
func FailInit(ctx context.Context, api string, reason error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	const kind = "Function.Init"
	body, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": reason.Error()})
	if err != nil {
		return fmt.Errorf("lambda: report why the function cannot start: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("lambda: report why the function cannot start: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	response, err := (&http.Transport{}).RoundTrip(r) // no proxy: it is this machine
	if err != nil {
		return fmt.Errorf("lambda: report why the function cannot start: %w", err)
	}
	response.Body.Close()
	return nil
}
