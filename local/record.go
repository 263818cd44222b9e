package main

import (
	"context"
	"errors"
)

func recordCommand(ctx context.Context, in invocation) error { return errors.ErrUnsupported }
