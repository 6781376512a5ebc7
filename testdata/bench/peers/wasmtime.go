package main

import (
	"fmt"
	"math"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

type wasmtimeEngine struct {
	store    *wasmtime.Store
	instance *wasmtime.Instance
}

func openWasmtime(code []byte, fuel bool) (engine, error) {
	config := wasmtime.NewConfig()
	config.SetConsumeFuel(fuel)
	e := wasmtime.NewEngineWithConfig(config)
	store := wasmtime.NewStore(e)
	if fuel {
		if err := store.SetFuel(math.MaxUint64); err != nil {
			return nil, err
		}
	}
	module, err := wasmtime.NewModule(e, code)
	if err != nil {
		return nil, err
	}
	instance, err := wasmtime.NewInstance(store, module, nil)
	if err != nil {
		return nil, err
	}
	return &wasmtimeEngine{store, instance}, nil
}

func (e *wasmtimeEngine) call(export string, arg int32) (int64, error) {
	f := e.instance.GetFunc(e.store, export)
	if f == nil {
		return 0, fmt.Errorf("no function %s", export)
	}
	got, err := f.Call(e.store, arg)
	if err != nil {
		return 0, err
	}
	return got.(int64), nil
}

func (e *wasmtimeEngine) close() { e.store.Close() }
