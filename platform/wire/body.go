package wire

import (
	"github.com/spotserve/spotserve/core/event"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// bodyOut puts a payload into its envelope.
func bodyOut(c *check, b event.Body, m *pb.Event) {
	switch b := b.(type) {
	case event.RunStarted:
		m.Body = &pb.Event_RunStarted{RunStarted: inside(c, "run_started", b, runStartedOut)}
	case event.AcquisitionNoticed:
		m.Body = &pb.Event_AcquisitionNoticed{AcquisitionNoticed: inside(c, "acquisition_noticed", b, acquisitionNoticedOut)}
	case event.InstanceAcquired:
		m.Body = &pb.Event_InstanceAcquired{InstanceAcquired: inside(c, "instance_acquired", b, instanceAcquiredOut)}
	case event.PreemptionNoticed:
		m.Body = &pb.Event_PreemptionNoticed{PreemptionNoticed: inside(c, "preemption_noticed", b, preemptionNoticedOut)}
	case event.InstanceLost:
		m.Body = &pb.Event_InstanceLost{InstanceLost: inside(c, "instance_lost", b, instanceLostOut)}
	case event.ThroughputRequired:
		m.Body = &pb.Event_ThroughputRequired{ThroughputRequired: inside(c, "throughput_required", b, throughputRequiredOut)}
	case event.RunEnded:
		m.Body = &pb.Event_RunEnded{RunEnded: inside(c, "run_ended", b, runEndedOut)}
	case event.PreemptionCancelled:
		m.Body = &pb.Event_PreemptionCancelled{PreemptionCancelled: inside(c, "preemption_cancelled", b, preemptionCancelledOut)}
	case event.RebalanceRecommended:
		m.Body = &pb.Event_RebalanceRecommended{RebalanceRecommended: inside(c, "rebalance_recommended", b, rebalanceRecommendedOut)}
	case event.RequestArrived:
		m.Body = &pb.Event_RequestArrived{RequestArrived: inside(c, "request_arrived", b, requestArrivedOut)}
	case event.RequestCompleted:
		m.Body = &pb.Event_RequestCompleted{RequestCompleted: inside(c, "request_completed", b, requestCompletedOut)}
	case event.RequestUnfinished:
		m.Body = &pb.Event_RequestUnfinished{RequestUnfinished: inside(c, "request_unfinished", b, requestUnfinishedOut)}
	case event.RequestRefused:
		m.Body = &pb.Event_RequestRefused{RequestRefused: inside(c, "request_refused", b, requestRefusedOut)}
	case event.ConfigChosen:
		m.Body = &pb.Event_ConfigChosen{ConfigChosen: inside(c, "config_chosen", b, configChosenOut)}
	case event.MigrationPlanned:
		m.Body = &pb.Event_MigrationPlanned{MigrationPlanned: inside(c, "migration_planned", b, migrationPlannedOut)}
	case event.ApplyMigration:
		m.Body = &pb.Event_ApplyMigration{ApplyMigration: inside(c, "apply_migration", b, applyMigrationOut)}
	case event.PrepareMigration:
		m.Body = &pb.Event_PrepareMigration{PrepareMigration: inside(c, "prepare_migration", b, prepareMigrationOut)}
	case event.AssignRequests:
		m.Body = &pb.Event_AssignRequests{AssignRequests: inside(c, "assign_requests", b, assignRequestsOut)}
	case event.ArrangeInterruption:
		m.Body = &pb.Event_ArrangeInterruption{ArrangeInterruption: inside(c, "arrange_interruption", b, arrangeInterruptionOut)}
	case event.StopPipeline:
		m.Body = &pb.Event_StopPipeline{StopPipeline: inside(c, "stop_pipeline", b, stopPipelineOut)}
	case event.Drain:
		m.Body = &pb.Event_Drain{Drain: new(pb.Drain)}
	case event.SpotCapacityOffered:
		m.Body = &pb.Event_SpotCapacityOffered{SpotCapacityOffered: inside(c, "spot_capacity_offered", b, spotCapacityOfferedOut)}
	case event.SpotCapacityWithdrawn:
		m.Body = &pb.Event_SpotCapacityWithdrawn{SpotCapacityWithdrawn: inside(c, "spot_capacity_withdrawn", b, spotCapacityWithdrawnOut)}
	case event.InstanceLaunched:
		m.Body = &pb.Event_InstanceLaunched{InstanceLaunched: inside(c, "instance_launched", b, instanceLaunchedOut)}
	case event.RequestFleet:
		m.Body = &pb.Event_RequestFleet{RequestFleet: inside(c, "request_fleet", b, requestFleetOut)}
	case event.NodeTimeAccounted:
		m.Body = &pb.Event_NodeTimeAccounted{NodeTimeAccounted: inside(c, "node_time_accounted", b, nodeTimeAccountedOut)}
	case event.RunFinished:
		m.Body = &pb.Event_RunFinished{RunFinished: inside(c, "run_finished", b, runFinishedOut)}
	case event.ContextMigrated:
		m.Body = &pb.Event_ContextMigrated{ContextMigrated: inside(c, "context_migrated", b, contextMigratedOut)}
	case event.StageStarted:
		m.Body = &pb.Event_StageStarted{StageStarted: inside(c, "stage_started", b, stageStartedOut)}
	case event.BatchStarted:
		m.Body = &pb.Event_BatchStarted{BatchStarted: inside(c, "batch_started", b, batchStartedOut)}
	case event.TokensCommitted:
		m.Body = &pb.Event_TokensCommitted{TokensCommitted: inside(c, "tokens_committed", b, tokensCommittedOut)}
	case event.BatchCompleted:
		m.Body = &pb.Event_BatchCompleted{BatchCompleted: inside(c, "batch_completed", b, batchCompletedOut)}
	case event.PipelineExited:
		m.Body = &pb.Event_PipelineExited{PipelineExited: inside(c, "pipeline_exited", b, pipelineExitedOut)}
	case event.RequestsJoined:
		m.Body = &pb.Event_RequestsJoined{RequestsJoined: inside(c, "requests_joined", b, requestsJoinedOut)}
	case event.RequestsLeft:
		m.Body = &pb.Event_RequestsLeft{RequestsLeft: inside(c, "requests_left", b, requestsLeftOut)}
	case event.WatermarkAdvanced:
		m.Body = &pb.Event_WatermarkAdvanced{WatermarkAdvanced: new(pb.WatermarkAdvanced)}
	case event.TimerFired:
		m.Body = &pb.Event_TimerFired{TimerFired: inside(c, "timer_fired", b, timerFiredOut)}
	case event.RunRecorded:
		m.Body = &pb.Event_RunRecorded{RunRecorded: inside(c, "run_recorded", b, runRecordedOut)}
	case event.PlannerElected:
		m.Body = &pb.Event_PlannerElected{PlannerElected: inside(c, "planner_elected", b, plannerElectedOut)}
	case event.SourcesGivenUp:
		m.Body = &pb.Event_SourcesGivenUp{SourcesGivenUp: inside(c, "sources_given_up", b, sourcesGivenUpOut)}
	case event.WorkerSilent:
		m.Body = &pb.Event_WorkerSilent{WorkerSilent: inside(c, "worker_silent", b, workerSilentOut)}
	case event.WorkerJoined:
		m.Body = &pb.Event_WorkerJoined{WorkerJoined: new(pb.WorkerJoined)}
	case nil:
		c.fail("body", "is missing")
	default:
		c.fail("body", "is a %T, which does not travel in a run's events", b)
	}
}

// bodyIn takes a payload out of its envelope.
func bodyIn(c *check, m *pb.Event) event.Body {
	switch b := m.GetBody().(type) {
	case *pb.Event_RunStarted:
		return inside(c, "run_started", b.RunStarted, runStartedIn)
	case *pb.Event_AcquisitionNoticed:
		return inside(c, "acquisition_noticed", b.AcquisitionNoticed, acquisitionNoticedIn)
	case *pb.Event_InstanceAcquired:
		return inside(c, "instance_acquired", b.InstanceAcquired, instanceAcquiredIn)
	case *pb.Event_PreemptionNoticed:
		return inside(c, "preemption_noticed", b.PreemptionNoticed, preemptionNoticedIn)
	case *pb.Event_InstanceLost:
		return inside(c, "instance_lost", b.InstanceLost, instanceLostIn)
	case *pb.Event_ThroughputRequired:
		return inside(c, "throughput_required", b.ThroughputRequired, throughputRequiredIn)
	case *pb.Event_RunEnded:
		return inside(c, "run_ended", b.RunEnded, runEndedIn)
	case *pb.Event_PreemptionCancelled:
		return inside(c, "preemption_cancelled", b.PreemptionCancelled, preemptionCancelledIn)
	case *pb.Event_RebalanceRecommended:
		return inside(c, "rebalance_recommended", b.RebalanceRecommended, rebalanceRecommendedIn)
	case *pb.Event_RequestArrived:
		return inside(c, "request_arrived", b.RequestArrived, requestArrivedIn)
	case *pb.Event_RequestCompleted:
		return inside(c, "request_completed", b.RequestCompleted, requestCompletedIn)
	case *pb.Event_RequestUnfinished:
		return inside(c, "request_unfinished", b.RequestUnfinished, requestUnfinishedIn)
	case *pb.Event_RequestRefused:
		return inside(c, "request_refused", b.RequestRefused, requestRefusedIn)
	case *pb.Event_ConfigChosen:
		return inside(c, "config_chosen", b.ConfigChosen, configChosenIn)
	case *pb.Event_MigrationPlanned:
		return inside(c, "migration_planned", b.MigrationPlanned, migrationPlannedIn)
	case *pb.Event_ApplyMigration:
		return inside(c, "apply_migration", b.ApplyMigration, applyMigrationIn)
	case *pb.Event_PrepareMigration:
		return inside(c, "prepare_migration", b.PrepareMigration, prepareMigrationIn)
	case *pb.Event_AssignRequests:
		return inside(c, "assign_requests", b.AssignRequests, assignRequestsIn)
	case *pb.Event_ArrangeInterruption:
		return inside(c, "arrange_interruption", b.ArrangeInterruption, arrangeInterruptionIn)
	case *pb.Event_StopPipeline:
		return inside(c, "stop_pipeline", b.StopPipeline, stopPipelineIn)
	case *pb.Event_Drain:
		return event.Drain{}
	case *pb.Event_SpotCapacityOffered:
		return inside(c, "spot_capacity_offered", b.SpotCapacityOffered, spotCapacityOfferedIn)
	case *pb.Event_SpotCapacityWithdrawn:
		return inside(c, "spot_capacity_withdrawn", b.SpotCapacityWithdrawn, spotCapacityWithdrawnIn)
	case *pb.Event_InstanceLaunched:
		return inside(c, "instance_launched", b.InstanceLaunched, instanceLaunchedIn)
	case *pb.Event_RequestFleet:
		return inside(c, "request_fleet", b.RequestFleet, requestFleetIn)
	case *pb.Event_NodeTimeAccounted:
		return inside(c, "node_time_accounted", b.NodeTimeAccounted, nodeTimeAccountedIn)
	case *pb.Event_RunFinished:
		return inside(c, "run_finished", b.RunFinished, runFinishedIn)
	case *pb.Event_ContextMigrated:
		return inside(c, "context_migrated", b.ContextMigrated, contextMigratedIn)
	case *pb.Event_StageStarted:
		return inside(c, "stage_started", b.StageStarted, stageStartedIn)
	case *pb.Event_BatchStarted:
		return inside(c, "batch_started", b.BatchStarted, batchStartedIn)
	case *pb.Event_TokensCommitted:
		return inside(c, "tokens_committed", b.TokensCommitted, tokensCommittedIn)
	case *pb.Event_BatchCompleted:
		return inside(c, "batch_completed", b.BatchCompleted, batchCompletedIn)
	case *pb.Event_PipelineExited:
		return inside(c, "pipeline_exited", b.PipelineExited, pipelineExitedIn)
	case *pb.Event_RequestsJoined:
		return inside(c, "requests_joined", b.RequestsJoined, requestsJoinedIn)
	case *pb.Event_RequestsLeft:
		return inside(c, "requests_left", b.RequestsLeft, requestsLeftIn)
	case *pb.Event_WatermarkAdvanced:
		return event.WatermarkAdvanced{}
	case *pb.Event_TimerFired:
		return inside(c, "timer_fired", b.TimerFired, timerFiredIn)
	case *pb.Event_RunRecorded:
		return inside(c, "run_recorded", b.RunRecorded, runRecordedIn)
	case *pb.Event_PlannerElected:
		return inside(c, "planner_elected", b.PlannerElected, plannerElectedIn)
	case *pb.Event_SourcesGivenUp:
		return inside(c, "sources_given_up", b.SourcesGivenUp, sourcesGivenUpIn)
	case *pb.Event_WorkerSilent:
		return inside(c, "worker_silent", b.WorkerSilent, workerSilentIn)
	case *pb.Event_WorkerJoined:
		return event.WorkerJoined{}
	default:
		if n := firstUnknown(m.ProtoReflect()); n != 0 {
			c.failFor(ErrUnknown, "body", "is unknown to this build, or missing beside the unknown field %d", n)
		}
		c.fail("body", "is missing")
		return nil
	}
}
