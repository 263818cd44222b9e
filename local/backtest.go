package main

import (
	"context"
	"errors"
)

func backtestCommand(ctx context.Context, in invocation) error { return errors.ErrUnsupported }
