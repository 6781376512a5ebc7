package sessions

import (
	"reflect"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
)

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](), reflect.TypeFor[*app](),
		reflect.TypeFor[OpenSession](), reflect.TypeFor[Session](), reflect.TypeFor[Deploy](), reflect.TypeFor[Announce](),
		reflect.TypeFor[Start](), reflect.TypeFor[Stop](), reflect.TypeFor[Resize](), reflect.TypeFor[Remove](),
		reflect.TypeFor[RemoveAll](), reflect.TypeFor[SetBench](), reflect.TypeFor[RaiseApp](), reflect.TypeFor[List](),
		reflect.TypeFor[Show](), reflect.TypeFor[Enter](), reflect.TypeFor[Leave](), reflect.TypeFor[Use](),
		reflect.TypeFor[Report](), reflect.TypeFor[NextToken](), reflect.TypeFor[Drain](), reflect.TypeFor[loaded](),
		reflect.TypeFor[forgot](), reflect.TypeFor[savedSession](), reflect.TypeFor[savedApp](), reflect.TypeFor[erased](),
		reflect.TypeFor[reloaded](), reflect.TypeFor[exited](), reflect.TypeFor[wants](), reflect.TypeFor[freed](),
		reflect.TypeFor[told](), reflect.TypeFor[emptied](), reflect.TypeFor[dirtied](), reflect.TypeFor[synced](),
		reflect.TypeFor[announced](), reflect.TypeFor[tick](), reflect.TypeFor[begin](), reflect.TypeFor[grant](),
		reflect.TypeFor[scarce](), reflect.TypeFor[yield](), reflect.TypeFor[pressed](), reflect.TypeFor[finish](),
		reflect.TypeFor[unfinish](), reflect.TypeFor[setBench](), reflect.TypeFor[tell](), reflect.TypeFor[prepared](),
		reflect.TypeFor[up](), reflect.TypeFor[ended](), reflect.TypeFor[noted](),
		reflect.TypeFor[answer[Admission]](), reflect.TypeFor[answer[Page]](), reflect.TypeFor[answer[SessionView]](),
		reflect.TypeFor[answer[Standing]](), reflect.TypeFor[answer[WorkerSession]](), reflect.TypeFor[answer[[]ReportPage]](),
		reflect.TypeFor[answer[inspect.App]](), reflect.TypeFor[answer[int]](), reflect.TypeFor[answer[meter.Metrics]](),
		reflect.TypeFor[answer[meter.Token]](), reflect.TypeFor[answer[struct{}]](), reflect.TypeFor[Load](),
		reflect.TypeFor[TookOver](), reflect.TypeFor[Forget](),
		reflect.TypeFor[SaveSession](), reflect.TypeFor[SaveApp](), reflect.TypeFor[EraseApp](), reflect.TypeFor[Reload](),
		reflect.TypeFor[SpawnApp](), reflect.TypeFor[StopActor](), reflect.TypeFor[ToApp](), reflect.TypeFor[Sync](),
		reflect.TypeFor[Head](), reflect.TypeFor[Issue](), reflect.TypeFor[IssueToken](), reflect.TypeFor[Refuse](),
		reflect.TypeFor[Requeue](), reflect.TypeFor[WakeAt](), reflect.TypeFor[Warn](), reflect.TypeFor[Prepare](),
		reflect.TypeFor[Run](), reflect.TypeFor[StopGuest](), reflect.TypeFor[Kill](), reflect.TypeFor[Cancel](),
		reflect.TypeFor[Note](), reflect.TypeFor[Save](), reflect.TypeFor[Tell](), reflect.TypeFor[Started](),
		reflect.TypeFor[Over](), reflect.TypeFor[Refused](),
	}
}
