package ledger

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// computeScripts are the scripts of the pallets of compute.
var computeScripts = map[string]func(w *crowd, call reflect.Value) *meter.Key{
	"Registration.register_node_with_coldkey": func(w *crowd, call reflect.Value) *meter.Key {
		node := asNode(w, call)
		fromJSON(call, "NodeType", `"ComputeMiner"`)
		return node
	},
	"Registration.force_register_coldkey_node": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Owner", account(asNode(w, call)))
		fromJSON(call, "NodeType", `"ComputeMiner"`)
		return nil
	},
	"Registration.set_node_type_fee": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Fee", pallet.Units(w.Uint64N(1000)))
		return nil
	},
	"Registration.set_node_type_disabled": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Disabled", w.odds(5))
		return nil
	},
	"Registration.unregister_node":      func(w *crowd, call reflect.Value) *meter.Key { return asNode(w, call) },
	"Registration.unregister_main_node": func(w *crowd, call reflect.Value) *meter.Key { return asNode(w, call) },
	"ExecutionUnit.put_node_specs": func(w *crowd, call reflect.Value) *meter.Key {
		fromJSON(call, "NodeType", `"ComputeMiner"`)
		fromJSON(call, "SystemInfo", fmt.Sprintf(`{"memory_mb":%d,"free_memory_mb":%[1]d,"storage_total_mb":%d,"storage_free_mb":%[2]d,"cpu_cores":%d,"cpu_model":"x"}`,
			8192+w.IntN(100_000), 100_000+w.IntN(1_000_000), 4+w.IntN(60)))
		return reporting(w, call)
	},
	"ExecutionUnit.update_metrics_data": func(w *crowd, call reflect.Value) *meter.Key {
		fromJSON(call, "NodeType", `"ComputeMiner"`)
		return reporting(w, call)
	},
	"ExecutionUnit.update_pin_check_metrics":      reporting,
	"ExecutionUnit.update_block_time":             reporting,
	"ExecutionUnit.store_offline_status_of_miner": reporting,
	"PalletIp.add_available_vm_ip": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "IP", fmt.Sprintf("10.0.1.%d", w.IntN(250)))
		return nil
	},
	"Credits.convert_to_credits": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Amount", pallet.Units(w.Uint64N(1_000_000)))
		return nil
	},
	"Marketplace.add_new_plan": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "PlanTechnicalDescription", fmt.Sprintf(`{"cpu_cores":%d,"ram_gb":%d,"storage_gb":%d}`, 1+w.IntN(4), 1+w.IntN(4), 1+w.IntN(20)))
		set(call, "Price", pallet.Units(w.Uint64N(100)))
		return nil
	},
	"Marketplace.increase_plan_price": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "NewPrice", pallet.Units(w.Uint64N(200)))
		return nil
	},
	"Marketplace.set_specific_miner_request_fee": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "Fee", pallet.Units(w.Uint64N(100)))
		return nil
	},
	"Marketplace.set_os_disk_image_url": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "OSName", "ubuntu")
		set(call, "URL", "sha256:"+w.hash("address").String())
		return nil
	},
	"Marketplace.set_sudo_key": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "NewSudoKey", account(w.actors[0]))
		return nil
	},
	"Marketplace.deposit": func(w *crowd, call reflect.Value) *meter.Key {
		set(call, "CreditAmount", pallet.Units(w.Uint64N(1000)))
		return w.actors[0]
	},
	"Marketplace.purchase_plan": func(w *crowd, call reflect.Value) *meter.Key {
		clear(call)
		set(call, "SelectedImageName", "ubuntu")
		if w.odds(4) {
			set(call, "CloudInitCid", "QmConfig")
		}
		if w.odds(4) {
			set(call, "MinerID", pick(w, w.workers).key.String())
		}
		return pick(w, w.actors[:6])
	},
	"Marketplace.cancel_subscription":                    byOwner,
	"Compute.request_compute_stop":                       byOwner,
	"Compute.request_compute_boot":                       byOwner,
	"Compute.request_compute_delete":                     byOwner,
	"Compute.request_compute_reboot":                     byOwner,
	"Compute.request_compute_resize":                     byOwner,
	"Compute.force_request_compute_delete":               byOwner,
	"Compute.cancel_compute_request":                     byOwner,
	"Compute.submit_compute_request_assignment":          byMiner,
	"Compute.update_miner_compute_request":               byMiner,
	"Compute.mark_miner_compute_stop_request_fulfilled":  byMiner,
	"Compute.submit_compute_deletion_request":            byMiner,
	"Compute.submit_compute_boot_request_fulfillment":    byMiner,
	"Compute.submit_compute_reboot_request_fulfillment":  byMiner,
	"Compute.submit_compute_resize_request_fulfillment":  byMiner,
	"Compute.mark_compute_request_fulfilled":             byMiner,
	"Compute.update_miner_compute_request_hypervisor_ip": byMiner,
	"Compute.handle_miner_compute_request_failure":       byMiner,
	"Compute.update_miner_compute_request_vnc":           byMiner,
}

// asNode names a node that is a worker, and returns its key.
func asNode(w *crowd, call reflect.Value) *meter.Key {
	who := pick(w, w.workers).key
	set(call, "NodeID", who.String())
	return who
}

// reporting names a node, and leaves the signature to that of the transaction.
func reporting(w *crowd, call reflect.Value) *meter.Key {
	call.FieldByName("Signature").SetZero()
	return asNode(w, call)
}

// byOwner names a request for compute and its plan; its owner signs.
func byOwner(w *crowd, call reflect.Value) *meter.Key {
	if len(w.asked) == 0 {
		return nil
	}
	a := pick(w, w.asked)
	about(call, a)
	return w.byName(a.owner)
}

// byMiner names a request for compute and the node that has it, which signs.
func byMiner(w *crowd, call reflect.Value) *meter.Key {
	if len(w.asked) == 0 {
		return nil
	}
	a := pick(w, w.asked)
	about(call, a)
	if f := call.FieldByName("Signature"); f.IsValid() {
		f.SetZero()
	}
	if shown, ok := w.query("Compute/request", fmt.Sprintf(`{"request_id":"%s"}`, a.id))["ip_reserved"].(string); ok {
		set(call, "IP", shown)
	}
	set(call, "VMName", "")
	return w.byName(a.miner)
}

func about(call reflect.Value, a *ask) {
	for field, text := range map[string]string{"RequestID": a.id, "PlanID": a.plan, "Owner": a.owner, "AccountID": a.owner, "NodeID": a.miner, "MinerNodeID": a.miner} {
		fromJSON(call, field, fmt.Sprintf("%q", text))
	}
}

// fromJSON fills in a field that a call has, if it can be what is written.
func fromJSON(call reflect.Value, name, text string) {
	if f := call.FieldByName(name); f.IsValid() {
		fresh := reflect.New(f.Type())
		if json.Unmarshal([]byte(text), fresh.Interface()) == nil {
			f.Set(fresh.Elem())
		}
	}
}
